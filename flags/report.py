"""Report: a page on studies and runs."""

HELP = {
    "out": "Folder of the report; an earlier report there is replaced.",
    "title": "Heading of the page.",
    "pictures": "Test pictures of each part that are shown with their captions, spread evenly over the split.",
}
