"""`titlecard report`: one HTML page that shows a site's owner what came in, what came out, and what needs a person."""
