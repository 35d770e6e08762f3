"""A comprehension: a loop that makes a list."""


# foretrace: even_squares(5)
def even_squares(limit):
    squares = [n * n for n in range(limit) if n % 2 == 0]
    return sum(squares)
