"""Methods × metrics × images: a resumable runner, a table, a picture."""
