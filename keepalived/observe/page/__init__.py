"""The status page: held sessions, sessions at risk, and recently ended sessions.

`view_model` chooses from a snapshot what the page shows, `elements` contains all HTML primitives,
`rows` and `document` build the HTML, and `serving` answers requests. Only `serving` uses HTTP; the
other modules are plain functions.
"""
