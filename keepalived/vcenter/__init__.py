"""The only room that speaks to vCenter."""
