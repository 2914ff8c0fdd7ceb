"""The Videos API over HTTP: routes, bodies, answers and the doors in front of them."""
