"""What is known of single images, on disk: rows that are appended, and what they depend on."""
