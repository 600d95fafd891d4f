"""A dozen captions of four images, written for the tests, with one candidate each."""

REFERENCES = {
    10: ["A man rides a brown horse on the beach.", "Someone riding a horse near the sea.", "A horse and its rider."],
    11: ["Two dogs play with a red ball in the park.", "The dogs' ball is red.", "Dogs chasing a ball on grass"],
    12: ["A plate of food: rice, beans & chicken.", "There's chicken with rice on a white plate."],
    13: [
        'A "STOP" sign stands at the corner of St. James Ave.',
        "A stop sign that you can't miss, at a street corner.",
        "A red sign beside a street",
        "The street corner has a sign...",
    ],
}
CANDIDATES = {
    10: "A man riding a horse on the beach.",
    11: "Two dogs playing with a ball in the grass",
    12: "A plate of food with rice and chicken.",
    13: "A stop sign at the corner of a street",
}
