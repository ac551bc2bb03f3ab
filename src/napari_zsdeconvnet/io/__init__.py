"""Images in and out of files: what an image is, its grid, and what files say of it."""
