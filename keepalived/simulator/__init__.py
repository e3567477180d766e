"""A Content Library that behaves like vCenter's: for tests, demonstrations and users' own CI."""
