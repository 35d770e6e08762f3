"""An exception, caught where it is expected and not where it is not."""


def divide(a, b):
    return a // b


# foretrace: safe_divide(6, 0)
def safe_divide(a, b):
    try:
        result = divide(a, b)
    except ZeroDivisionError:
        result = None
    return result


# foretrace: average([])
def average(numbers):
    total = sum(numbers)
    return divide(total, len(numbers))
