"""The status page: held sessions, sessions in danger, and how other sessions ended, at a glance.

`view_model` chooses what is shown from a snapshot, `elements` contains all HTML primitives, `rows`
and `document` build the HTML, and `serving` answers requests. Only `serving` uses HTTP; the other
modules are plain functions.
"""
