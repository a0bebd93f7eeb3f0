"""What others are told of jobs: functions of the user's, traces, notifications.

They are called in a process of their own, which hears of a job's events after they are
kept. Nothing waits for it: where it is slow, hangs or dies, events are left out and
counted, and jobs go on.
"""
