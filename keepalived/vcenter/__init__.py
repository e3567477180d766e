"""The client of a vCenter's Content Library API; no other package sends requests to a vCenter."""
