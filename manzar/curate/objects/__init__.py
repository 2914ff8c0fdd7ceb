"""What is in a clip: moving objects followed, faces found and blurred, people's own tracks read."""
