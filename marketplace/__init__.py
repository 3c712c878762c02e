"""Who sells what to whom: people, companies, their teams, products and memberships."""
