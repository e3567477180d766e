"""The status page: what is held, what is in danger, and what became of the rest, at a glance.

`view_model` chooses what is shown from a snapshot, `elements` is all there is of HTML, `rows` and
`document` turn the one into the other, and `serving` answers requests. Only the last of them knows
of HTTP; the others are plain functions.
"""
