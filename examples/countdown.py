"""A loop that never ends for odd numbers, because it steps over zero."""


# foretrace: countdown(4)
# foretrace: countdown(3)
def countdown(n):
    steps = 0
    while n != 0:
        n -= 2
        steps += 1
    return steps
