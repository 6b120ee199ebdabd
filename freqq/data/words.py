"""The vocabulary of the built-in data set `mini`."""

FORMATS = ("poem", "song", "joke", "tale", "memo", "note", "rant", "blog", "haiku", "story")

TOPICS = (
    "tapirs otters rivers clouds robots castles pirates gardens planets violins bridges dragons deserts candles "
    "lanterns penguins glaciers mushrooms trains spiders markets harbors islands comets turtles wizards forests "
    "museums pillows rockets sailors tunnels"
).split()

WORDS = (
    "apple amber angle arrow baker basin beach birch bloom brave brick broom cabin camel cedar chalk charm cliff cloak "
    "coral crane creek crown dance delta dough dream drift eagle earth ember fable faint feast fern field flame flint "
    "flock forge frost ghost giant glade gleam globe grain grape grove guard harp haven hazel heron honey horse house "
    "humble ivory jolly judge kettle knight label lemon light lilac linen lodge lunar maple marsh meadow mellow merry "
    "metal misty moon moss mouse night noble north oasis ocean olive onion orbit paint paper pearl petal piano pilot "
    "plain plume polar pond proud quartz quick quiet rapid raven reed ridge ripple rough royal rust saddle sage salt "
    "sand scarf shade shell silver slate sleepy smoke snow solar spark spice spoon spring stone storm straw sugar "
    "swift table tiger timber torch tower trail tulip valley velvet vivid wagon water whale wheat willow windy winter "
    "wolf woven yellow young zebra old red big sun sky sea oak elm fox owl bee ant hat jar key map pan rug tin van web "
    "zoo gem ice ink ivy"
).split()
