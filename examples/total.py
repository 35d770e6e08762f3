"""An accumulator: the sum of some numbers."""


# foretrace: total([1, 2, 3])
# foretrace: total([2, 2])
def total(numbers):
    result = 0
    for number in numbers:
        result += number
    return result
