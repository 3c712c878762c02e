"""The demo's mail: an SMTP sink that keeps each message as a file, and the pages that show them."""

urlpatterns: list = []
