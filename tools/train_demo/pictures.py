"""The training pictures: Noto emoji on coloured backgrounds, named by Unicode CLDR.

The glyphs are the 136x128 bitmaps of Debian's fonts-noto-color-emoji (Apache-2.0), the names the English
annotations of unicode-cldr-core. NAMES lists what the pictures are called in captions; those in KNOWN are
what the UNet learns, the rest only teach the VAE what pictures look like.
"""
import io
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import numpy as np
import torch
from fontTools.ttLib import TTFont
from PIL import Image

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
ANNOTATIONS = "/usr/share/unicode/cldr/common/annotations/en.xml"
SIZE = 128

# "CLDR name" or "CLDR name:name in captions", one room of life a paragraph.
NAMES = """
dog face:dog|cat face:cat|lion:lion|tiger face:tiger|horse face:horse|unicorn|cow face:cow|pig face:pig
mouse face:mouse|rabbit face:rabbit|bear|panda|koala|fox|wolf|frog|monkey face:monkey|chicken|penguin|bird
eagle|owl|duck|swan|flamingo|parrot|turtle|snake|dragon face:dragon|whale|dolphin|tropical fish:fish
octopus|crab|lobster|shrimp|snail|butterfly|bug:caterpillar|ant|honeybee:bee|lady beetle:ladybug|spider
elephant|camel|giraffe|hedgehog|bat|kangaroo|ewe:sheep|goat|deer|hamster|raccoon|gorilla

rose|sunflower|tulip|cherry blossom|hibiscus|four leaf clover:clover|maple leaf|evergreen tree:pine tree
deciduous tree:tree|palm tree|cactus|mushroom

red apple:apple|green apple|pear|tangerine:orange fruit|lemon|banana|watermelon|grapes|strawberry|cherries
peach|pineapple|kiwi fruit:kiwi|tomato|avocado|eggplant|carrot|ear of corn:corn|hot pepper:pepper|broccoli
bread|croissant|cheese wedge:cheese|hamburger|french fries:fries|pizza|hot dog|taco|sushi|doughnut:donut
cookie|birthday cake:cake|cupcake|pie|ice cream|lollipop|hot beverage:coffee|beer mug:beer|wine glass:wine
egg:fried egg

sun|sun with face:smiling sun|full moon:moon|crescent moon|star|rainbow|cloud|high voltage:lightning
snowflake|snowman|fire|droplet:water drop|water wave:wave|globe showing Europe-Africa:earth
ringed planet:planet|volcano|snow-capped mountain:mountain

house|castle|tent|church|ferris wheel|rocket|airplane|helicopter|flying saucer:ufo|sailboat|locomotive:train
bus|taxi|automobile:car|fire engine:fire truck|police car|tractor|bicycle|balloon|anchor

soccer ball|basketball|baseball|tennis:tennis ball|american football:football|trophy|guitar|trumpet|violin
drum|microphone|headphone:headphones|camera|television:tv|laptop:computer|mobile phone:phone|books
light bulb:lamp|key|umbrella|crown|ring|gem stone:diamond|bell|alarm clock:clock|hourglass done:hourglass
magnet|teddy bear|wrapped gift:gift|jack-o-lantern:pumpkin|ghost|alien|robot|skull|clown face:clown
red heart:heart|eye|thumbs up|grinning face:smile|crying face:sad face|smiling face with sunglasses:cool face
top hat|glasses|t-shirt:shirt|dress|high-heeled shoe:shoe|backpack
"""

KNOWN = set("""
dog|cat|lion|tiger|horse|unicorn|cow|pig|mouse|rabbit|bear|panda|fox|frog|monkey|chicken|penguin|owl|duck
parrot|turtle|snake|whale|dolphin|fish|octopus|crab|snail|butterfly|bee|ladybug|elephant
rose|sunflower|maple leaf|pine tree|tree|palm tree|cactus|mushroom
apple|pear|orange fruit|lemon|banana|watermelon|grapes|strawberry|cherries|peach|pineapple|tomato|avocado
carrot|corn|broccoli|cheese|hamburger|fries|pizza|donut|birthday cake|cupcake|ice cream|coffee
sun|moon|star|rainbow|cloud|lightning|snowflake|snowman|fire|earth|planet|volcano
house|castle|rocket|airplane|ufo|sailboat|train|bus|car|balloon
soccer ball|basketball|trophy|guitar|books|lamp|key|umbrella|crown|diamond|bell|clock|robot|pumpkin|ghost
alien|skull|heart|smile|cool face
""".strip().replace("\n", "|").split("|"))

BACKGROUNDS = {
    "white": (255, 255, 255), "black": (20, 20, 24), "red": (214, 48, 49), "orange": (240, 140, 40),
    "yellow": (250, 220, 90), "green": (80, 170, 90), "blue": (60, 110, 210), "purple": (130, 80, 180),
    "pink": (245, 170, 195), "gray": (150, 150, 155), "sky blue": (150, 210, 245), "brown": (130, 90, 60),
}


@dataclass
class Picture:
    """One emoji: its name in captions, its CLDR name, and its RGBA bitmap."""
    name: str
    cldr_name: str
    bitmap: Image.Image


def code_points():
    """Maps each English CLDR name to its emoji, without variation selectors."""
    root = ElementTree.parse(ANNOTATIONS).getroot()
    return {note.text: note.get("cp").replace("\ufe0f", "")
            for note in root.iter("annotation") if note.get("type") == "tts"}


def load_pictures():
    """Returns every picture of NAMES that is a single code point with a bitmap in the font."""
    font = TTFont(FONT)
    glyph_of, strike, emoji_of = font.getBestCmap(), font["CBDT"].strikeData[0], code_points()
    pictures = []
    for entry in "|".join(NAMES.split("\n")).split("|"):
        cldr_name, _, name = entry.partition(":")
        emoji = emoji_of.get(cldr_name, "")
        if len(emoji) == 1 and glyph_of.get(ord(emoji)) in strike:
            bitmap = Image.open(io.BytesIO(strike[glyph_of[ord(emoji)]].imageData)).convert("RGBA")
            pictures.append(Picture(name or cldr_name, cldr_name, bitmap))
    return pictures


def known(pictures):
    """The pictures whose names the UNet learns."""
    return [picture for picture in pictures if picture.name in KNOWN]


def render(bitmap, background, scale=0.86, shift=(0, 0), mirrored=False):
    """Draws a bitmap into the middle of a SIZE x SIZE square of one colour: uint8 [SIZE, SIZE, 3]."""
    factor = round(SIZE * scale) / max(bitmap.size)
    emoji = bitmap.resize([max(1, round(side * factor)) for side in bitmap.size], Image.LANCZOS)
    if mirrored:
        emoji = emoji.transpose(Image.FLIP_LEFT_RIGHT)
    square = Image.new("RGBA", (SIZE, SIZE), (*background, 255))
    square.alpha_composite(emoji, tuple(max(0, (SIZE - side) // 2 + d)
                                        for side, d in zip(emoji.size, shift)))
    return np.asarray(square.convert("RGB"))


def jittered(bitmap, background, random, mirrored):
    """Renders with a random size and place, as every training picture is."""
    shift = random.randint(-3, 3), random.randint(-3, 3)
    return render(bitmap, background, random.uniform(0.80, 0.92), shift, mirrored)


def to_tensor(batch):
    """A list of uint8 [h, w, 3] becomes f32 [n, 3, h, w] in [-1, 1], channels last in memory."""
    x = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)
