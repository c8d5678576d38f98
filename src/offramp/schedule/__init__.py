"""Which request goes to which engine now, or when to come back: pure, time is an argument.

`Scheduler` holds it together; `request` has the words, `rules` what a class is promised. Inside: `account`
(deficit round-robin across classes), `waiting` (deadlines and tenants inside a class) and `slots` (credits,
loans and adapters of one engine).
"""
