"""Videos on request over HTTP: jobs that survive anything, the processes that make them, and a studio in the browser.

    settings    what a server is told                      task         everything that determines one generation
    jobs        what a job is, and what may be wrong       worker       the process that makes videos (how: making)
    queue       the jobs, in one SQLite file (table)       outputs      what is delivered beside the video
    store       that file, written in shared               supervisor   starts workers, replaces those that die
                transactions, by turns                     folders      the files of jobs

Models are known here only through `generate`.
"""
