"""How a pair is put to the model, by both sides: the criterion as the system's turn, the prompt, the response."""


def turns(pair, response):
    system = [{"role": "system", "content": pair["criterion"]}] if pair["criterion"] else []
    return [*system, {"role": "user", "content": pair["prompt"]}, {"role": "assistant", "content": response}]


def chosen_first(pair):
    """The better response, then the other."""
    return pair["responses"] if pair["label"] == "first" else pair["responses"][::-1]
