"""A simulated vCenter Content Library for tests, demonstrations and users' own CI."""
