// What can be asked for: for each task its inputs, the fields it takes, and where it is posted.

const CLIP = { name: "video", label: "Video", kind: "video" };

export const TASKS = {
  create: {
    about: "From words, and from boxes if you draw some.",
    slots: [], fields: ["size", "seconds", "boxes"], draws: "boxes", verb: "Generate", path: "/v1/videos",
  },
  animate: {
    about: "A picture becomes the first frame.",
    slots: [{ name: "input_reference", label: "First frame", kind: "image" }],
    fields: ["size", "seconds", "boxes"], draws: "boxes", verb: "Animate", path: "/v1/videos",
  },
  extend: {
    about: "A video goes on, begins earlier, or returns to its start.",
    slots: [CLIP], fields: ["direction", "seconds"], draws: null, verb: "Extend", path: "/v1/videos/extensions",
  },
  connect: {
    about: "What lies between two videos is made, and they become one.",
    slots: [{ ...CLIP, name: "first", label: "First video" }, { ...CLIP, name: "last", label: "Last video" }],
    fields: ["seconds"], draws: null, verb: "Connect", path: "/v1/videos/connections",
  },
  loop: {
    about: "A video whose end flows into its beginning.",
    slots: [], fields: ["size", "seconds", "boxes"], draws: "boxes", verb: "Loop", path: "/v1/videos",
  },
  edit: {
    about: "A video is made anew by the prompt, all of it or where you paint.",
    slots: [CLIP], fields: ["strength", "mask"], draws: "mask", verb: "Edit", path: "/v1/videos/edits",
  },
};

/** What the length means where a clip is given already. */
export const SECONDS_LABEL = { extend: "Added length", connect: "Length between" };

/** Fields of the form that every task takes. */
export const COMMON = ["prompt", "seed", "steps", "guidance", "negative_prompt"];
