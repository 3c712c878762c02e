"""The outbox: messages that wait to leave, and how they leave. Knows no cases."""
