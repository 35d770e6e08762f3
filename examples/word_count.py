"""Counts words in a dictionary."""


# foretrace: word_count("a b a")
def word_count(text):
    counts = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    return counts
