"""Reports the contents of a Bento or an image as an HTML page."""
