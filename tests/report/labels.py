"""Labels that are HTML, which a page has to show as the text they are."""

EVIL = "<script>window.evil = 1</script>"
MARKED = "<b>bold</b> & <a href='x'>sfn</a>"
