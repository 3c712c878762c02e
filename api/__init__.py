"""The public API under /api/v1/: answers Whop's calls with Whop's names, and decides nothing."""
