"""The edge: settings, wiring, HTTP, command line and web page."""
