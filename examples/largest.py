"""The largest of some numbers, by looking at each of them once."""


# foretrace: largest([2, 1])
# foretrace: largest([3, 8, 5])
def largest(numbers):
    best = numbers[0]
    for number in numbers:
        if number > best:
            best = number
    return best
