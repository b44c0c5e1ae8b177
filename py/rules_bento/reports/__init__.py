"""Reports for people: what is in a Bento or an image, as pages to look at."""
