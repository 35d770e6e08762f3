"""Functions made in a loop: all of them see the loop's last value."""


# foretrace: doubled([1, 2])
def doubled(numbers):
    later = []
    for number in numbers:
        later.append(lambda: number * 2)
    return [call() for call in later]
