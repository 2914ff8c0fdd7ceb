"""Code that was written for Sora, on a server of one's own: only the address is another.

    manzar serve &
    python examples/openai_client.py
"""

from __future__ import annotations

import os

from openai import OpenAI

API = os.environ.get("MANZAR_API", "http://127.0.0.1:8000/v1")
client = OpenAI(base_url=API, api_key=os.environ.get("MANZAR_SERVE_KEY", "none"))

video = client.videos.create_and_poll(model="sora-2", prompt="A red circle moves to the right.", seconds="4")
if video.status == "failed":
    raise SystemExit(video.error and video.error.message)
client.videos.download_content(video.id).write_to_file("circle.mp4")
client.videos.download_content(video.id, variant="thumbnail").write_to_file("circle.webp")

# What the API never had goes into extra_body. Boxes are one text of JSON, for the client flattens lists.
loop = client.videos.create(prompt="A blue square spins.", extra_body={"loop": True, "seed": 3, "steps": 12})
print(client.videos.poll(loop.id).status)

# The client insists on a file here; an id goes around it.
remix = client.videos.remix(video.id, prompt="A green circle moves to the right.")
longer = client.post("/videos/extensions", cast_to=type(video),
                     body={"prompt": "A red circle moves to the right.", "seconds": "4", "video": {"id": video.id}})
for each in (remix, longer):
    print(client.videos.poll(each.id).seconds)

for each in client.videos.list(limit=10):
    print(each.id, each.status, each.prompt)
    break
