"""The whole product as people meet it: a running demo, a real browser, several people at once."""
