"""A generator: it pauses at each yield and goes on from there."""


def fibonacci(count):
    a, b = 0, 1
    for _ in range(count):
        yield a
        a, b = b, a + b


# foretrace: first_even(5)
def first_even(count):
    for number in fibonacci(count):
        if number and number % 2 == 0:
            return number
    return None
