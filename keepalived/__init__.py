"""Keeps VMware vSphere Content Library sessions alive while their uploads take their time."""
