// The Videos API of the server that this page came from; every request of the page goes through here.

const KEY = "manzar.key";
const SILENCE_MS = 40_000; // the server's event stream says something every 15 s at least
const POLL_MS = 1000;
const PATIENCE = 60; // answers that may fail to come, one after another
const KEPT_BLOBS = 60;

export class ApiError extends Error {
  constructor(status, { message, param = null, code = null } = {}) {
    super(message || `the server answered ${status}`);
    Object.assign(this, { status, param, code });
  }
}

export const getKey = () => sessionStorage.getItem(KEY) ?? "";
export const setKey = (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY));
export const finished = (video) => video.status === "completed" || video.status === "failed";

async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  if (getKey()) headers.set("Authorization", `Bearer ${getKey()}`);
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "The server does not answer. Is it still running?" });
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw new ApiError(answer.status, body.error ?? {});
}

const json = async (path, options) => (await request(path, options)).json();

export const about = () => json("/v1/manzar");
export const models = async () => (await json("/v1/models")).data;
export const pages = () => json("/v1/manzar/pages");
export const video = (id) => json(`/v1/videos/${id}`);
export const remove = (id) => json(`/v1/videos/${id}`, { method: "DELETE" });
export const cancel = (id) => json(`/v1/videos/${id}/cancel`, { method: "POST" });

export function list(limit, after = null) {
  const query = new URLSearchParams({ limit, order: "desc" });
  if (after) query.set("after", after);
  return json(`/v1/videos?${query}`);
}

/** Posts a job. Files make the body multipart, in which {video: {id}} is the field `video[id]`; else it is JSON. */
export function submit(path, fields) {
  const entries = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (!entries.some(([, value]) => value instanceof Blob)) {
    const body = JSON.stringify(Object.fromEntries(entries));
    return json(path, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  }
  const form = new FormData();
  for (const [name, value] of entries) {
    if (value instanceof Blob) form.append(name, value, value.name ?? `${name}.png`);
    else if (name === "boxes") form.append(name, JSON.stringify(value));
    else if (typeof value === "object") form.append(`${name}[id]`, value.id);
    else form.append(name, String(value));
  }
  return json(path, { method: "POST", body: form });
}

/** The bytes of one variant: video, thumbnail or spritesheet. */
export const content = async (id, variant) => (await request(contentPath(id, variant))).blob();

export const contentPath = (id, variant) =>
  `/v1/videos/${id}/content${variant === "video" ? "" : `?variant=${variant}`}`;

const blobs = new Map();

/** Something that an <img> or <video> can load: the path itself, or, where a key is needed, a blob of it. */
export async function source(path) {
  if (!getKey()) return path;
  const held = blobs.get(path);
  if (held) return held;
  const url = URL.createObjectURL(await (await request(path)).blob());
  blobs.set(path, url);
  if (blobs.size > KEPT_BLOBS) {
    const [oldest, old] = blobs.entries().next().value;
    blobs.delete(oldest);
    URL.revokeObjectURL(old);
  }
  return url;
}

/** The latest preview frame as a blob URL of the caller's to revoke, or null where there is none yet. */
export async function preview(path, signal) {
  const answer = await request(path, { cache: "no-store", signal });
  return answer.status === 204 ? null : URL.createObjectURL(await answer.blob());
}

/** Follows a job: onVideo at each change, the finished video at last. Streams; where that breaks off, it asks again. */
export async function follow(id, onVideo, signal) {
  try {
    const last = await stream(id, onVideo, signal);
    if (last) return last;
  } catch (error) {
    if (signal.aborted || error.status === 404) throw error;
  }
  for (let silent = 0; ; ) {
    try {
      const now = await video(id);
      silent = 0;
      signal.throwIfAborted();
      onVideo(now);
      if (finished(now)) return now;
    } catch (error) {
      const passing = error.status === 0 || error.status >= 500; // a server that starts again goes on with its jobs
      if (signal.aborted || !passing || ++silent > PATIENCE) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function stream(id, onVideo, signal) {
  const silent = new AbortController();
  const either = AbortSignal.any([signal, silent.signal]);
  let timer = setTimeout(() => silent.abort(), SILENCE_MS);
  const headers = { Accept: "text/event-stream" };
  try {
    const answer = await request(`/v1/videos/${id}/events`, { headers, signal: either });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return null;
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE_MS);
      const parts = (held + value).split(/\r?\n\r?\n/);
      held = parts.pop();
      for (const part of parts) {
        const event = read(part);
        if (!event) continue;
        onVideo(event.data);
        if (event.name === "done") return event.data;
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

/** One server-sent event, or null for a comment. */
function read(text) {
  const lines = text.split(/\r?\n/);
  const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
  if (!data.length) return null;
  const name = lines.find((line) => line.startsWith("event:"))?.slice(6).trim() ?? "message";
  return { name, data: JSON.parse(data.join("\n")) };
}
