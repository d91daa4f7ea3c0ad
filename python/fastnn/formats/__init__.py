"""Files of other libraries, read without those libraries and without running what is in them."""
