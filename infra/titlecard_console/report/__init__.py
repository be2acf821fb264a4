"""`titlecard report`: one HTML page that shows a site's owner the uploads, the talks, and what needs a person."""
