"""Reports on the contents of a Bento or an image, as HTML pages."""
