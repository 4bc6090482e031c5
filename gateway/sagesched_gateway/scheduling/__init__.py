"""The scheduling core: which waiting request starts next, and when.

PURE: numbers in, numbers out; no clock, socket, task, lock, logger or chance, and never a prompt's text.
`scheduler.Scheduler` takes the events of `events` and answers with the commands of `commands`.
"""
