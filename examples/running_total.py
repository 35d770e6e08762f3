"""An accumulator: the sum of the numbers so far, after each of them."""


# foretrace: running_total([3, 1, 4])
def running_total(numbers):
    total = 0
    totals = []
    for number in numbers:
        total += number
        totals.append(total)
    return totals
