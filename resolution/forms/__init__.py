"""What people fill in: every POST has its form here, and a form says in words what is wrong."""
