"""Money: payments, refunds, credits and the providers. Knows no cases."""
