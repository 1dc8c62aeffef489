# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What there is to try in the demo."""

SENTENCES = [
    "Ada Lovelace met Charles Babbage in London in 1833, long before IBM was founded in New York.",
    "The University of Vienna lost to Real Madrid, said Franz Schubert, who works for the Bank of Japan.",
]
RAW_SENTENCES = [  # for a tagger that restores how they are written
    "this function returns a list of strings if the file does not exist an error is raised note that the python "
    "interpreter uses the ascii encoding by default however you can choose another one",
    "if the file does not exist it is created for example a url may contain a port",
]
PROMPTS = ["This module provides", "Return a list of", "If the file does not exist,"]
READING = (
    "If the file does not exist, it is created. The default is None, which means that an error is raised. Note that "
    "the order of the items is not guaranteed, since the dictionary may change while it is read."
)
TO_TRANSLATE = ["I think he will come.", "Are you happy now?", "This is my book."]
