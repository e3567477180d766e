"""The demonstration: uploads with pauses, with and without a keeper, and its evidence."""
