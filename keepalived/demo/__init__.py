"""The demo: uploads with pauses, with and without keep-alives, and checks of the results."""
