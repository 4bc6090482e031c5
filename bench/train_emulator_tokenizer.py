"""Train the emulator's tokenizer: byte-level BPE on sentences made from a list of common words.

    python bench/train_emulator_tokenizer.py [--out FILE]

The emulated engine receives token ids only and must know which prompt they are, so the tokenizer has to be
lossless for any UTF-8 text: byte-level BPE without normalisation is. It also decides how many tokens a plain
prompt has, so common English words should be one token each. The text it learns from is made here, by a fixed
seed, from the words below; nobody else's text is involved, and the same script gives the same file.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from sagesched_emulator.tokenizer import TOKENIZER_PATH

VOCABULARY = 6144
NUM_SENTENCES = 50_000
SEED = 20

# Roughly by frequency in everyday English; earlier words are drawn more often.
FREQUENT = """
the of and to a in is that for it as was with be by on not he his but at are this have from or had an they
which you were their all one we her she there would if more when will who so no what up out about into than
them can some could time only do my your now over such our man me even most made after also did many before
must through years where much way well down should because each just those people how too good any very same
make world still own see men work long here get both between life being under three never know last another
while might us state great old year off come since against go came right used take two first new like then
other use may these its him been has does said part during without place found again high small large number
always however home every water need word write point want look day think back help line turn cause mean
differ move boy tell sentence set air play end put read hand port spell add land big follow act why ask
change went light kind house picture try animal mother near build self earth father head stand page country
answer school grow study learn plant cover food sun four thought let keep eye door city tree cross farm hard
start story saw far sea draw left late run press close night real few north open seem together next white
children begin got walk example ease paper group music mark often letter until mile river car feet care
second enough plain girl usual young ready above ever red list though feel talk bird soon body dog family
direct leave song measure product black short class wind question happen complete ship area half rock order
fire south problem piece told knew pass top whole king space heard best hour better true hundred five
remember step early hold west ground interest reach fast verb sing listen six table travel less morning ten
simple several toward war lay pattern slow center love person money serve appear road map rain rule govern
pull cold notice voice unit power town fine certain fly fall lead cry dark machine note wait plan figure
star box noun field rest correct able pound done beauty drive stood contain front teach week final gave
green quick develop ocean warm free minute strong special mind behind clear tail produce fact street inch
multiply nothing course stay wheel full force blue object decide surface deep moon island foot system busy
test record boat common gold possible plane instead dry wonder laugh thousand ago ran check game shape
equate hot miss brought heat snow tire bring yes distant fill east paint language among
"""

COMMON = """
account action active actually address advice affect afternoon agree allow almost alone along already
although amount analysis analyze annual apply approach argument around arrive article assume attack attempt
attention audience author available average avoid award aware balance bank base basic basis beautiful become
bed behavior believe benefit beyond bill bit blood board book born bottom brain branch break bright broad
brother budget building business buy call camera campaign capital card career carry case catch cell central
century chair challenge chance character charge cheap chief child choice choose church citizen civil claim
clean climate club coach coffee collect college color combine comfort command comment commit community
company compare competition computer concept concern condition conference confirm connect consider consumer
contact content context continue contract control convert cook copy cost count couple court create credit
crime crisis critical culture cup current customer cut daily damage data date daughter dead deal death
debate decade decision defense degree deliver demand depend describe desert design desire despite detail
determine device dialogue die difference different difficult digital dinner direction director discover
discuss disease distance divide doctor document dollar dream dress drink drop due duty easy eat economic
economy edge education effect effective effort eight either election element else email emotion employee
empty encourage energy engine engineer enjoy enter entire environment equal equipment error especially essay
establish estimate event eventually everybody everyone everything evidence exactly examine excellent except
exercise exist expect expensive experience expert explain express extend extra eyes face factor fail fair
faith familiar famous fashion fear feature federal feeling fiction fight film financial find finger finish
firm fish fit flat floor flow flower focus foreign forest forget form formal former forward friend function
fund funny future gain garden gas general generate generation gentle gift give glass global goal government
grade green growth guess guide gun hair happy health hear heart heavy height hero herself hide himself hire
history hit holiday hope horse hospital hotel huge human hurt husband ice idea identify image imagine impact
implement important improve include income increase indeed independent indicate individual industry
influence inform information initial inside instance institution instruction insurance intelligent intend
international internet interview introduce invest investigate involve issue item itself job join journey
judge jump justice key kid kill kitchen knowledge lab labor lack lady lake larger latter law lawyer leader
league least leg legal lesson level lie limit link lip little live local log lose loss lost lot low luck
lunch magazine mail main maintain major majority manage manager manner market marriage material matter maybe
meal meaning media medical meet meeting member memory mention message metal method middle military million
mine minor mission mistake mix model modern moment month moral mountain mouth movement movie multiple murder
museum myself mystery name narrow nation national natural nature necessary neck negative neighbor neither
nervous network news newspaper nice nine none nor normal novel nurse obvious occur offer office officer
official oil okay older once online onto operation opinion opportunity opposite option organize origin
original others outside overall owner package pain pair panel parent park partner party past path patient
pattern pay peace perfect perform performance perhaps period permit phone photo phrase physical pick planet
platform player please poem poet police policy political pool poor popular population position positive
possess post potential practice prepare present president pretty prevent previous price primary principle
print prior private probably process professional professor profile program project promise proper property
propose protect prove provide public purpose push quality quarter quiet quite quote race radio raise range
rate rather reaction reader reality realize reason receive recent recipe recognize recommend reduce refer
reflect region relate relationship release religion remain remote remove repeat replace reply report
represent request require research resource respond response responsible result return reveal review rich
ride ring rise risk role roll romance roof room root rough round row royal safe safety sale salt sample sand
save scale scene schedule science scientist score screen search season seat section security seek select
sell send senior sense sentiment separate series serious service session seven shadow share sharp sheet
shirt shoe shop shot shoulder shout show shut sick side sign signal significant silence silver similar
single sister sit site situation size skill skin sky sleep slice slight smart smell smile smooth social
society soft software soil soldier solution solve somebody someone something sometimes son soul sound source
speak specific speech speed spend spirit sport spread spring square stage standard statement station status
steal steel stick stone stop storage store storm strange strategy stream strength stress strike string
structure struggle student stuff style subject succeed success sudden suffer sugar suggest suit summary
summer support suppose sure surprise survive sweet swim symbol table talent target task tax tea teacher team
technical technique technology television temperature term terrible text thank theme theory therapy thick
thin thing third thirty throw thus ticket tight tiny tired title today toe tomorrow tone tonight tool tooth
topic total touch tough tour track trade tradition traffic train training transform translate treat trend
trial trip trouble truck trust truth twelve twenty twice type typical ugly uncle understand unique universe
university unless unlike upon urban useful user usually vacation valley value variety various vast version
victim video view village violence visit visual vote wake wall warn wash waste watch wave weak wealth weapon
wear weather web weekend weight welcome whatever whenever whether whose wide wife wild win window wine
winner winter wish within woman women won wood worker worry worse worst worth wrong yard yellow yesterday
yet yourself youth zero zone
"""

TECHNICAL = """
algorithm allocate api append application argument array assert assign async attribute await backend batch
binary bit block boolean branch buffer bug build byte cache callback char class client cloud cluster code
column command compile component compute config configure connection console const constant container
counter database dataset debug declare default define deploy derive dict directory distribution docker
domain dynamic element encode equation exception execute export expression factor false fetch file filter
float format formula fraction framework function graph hash header heap host html http https import index
infinite input insert install instance integer interface invalid iterate iteration java javascript json
kernel label lambda latency layer learning length library linear linux list load local lock loop machine map
math matrix maximum median memory merge method metric minimum mobile module monitor node null number object
offset online optimize option output packet page parallel parameter parse password path payload percent
pipeline pixel pointer polynomial port prefix prime print probability procedure processor prompt protocol
proxy python quantity query queue random ratio raw recursive redirect reference regex register render
repository request reset response return root route runtime scalar schema scope script select self server
shell signature socket sort spec sql stack standard static statistics storage str stream string struct
subset sum swap syntax table template tensor terminal test thread throughput timeout timestamp token trace
transaction tree true tuple type undefined unit update upload url user utf validate value variable vector
version virtual void web while worker workflow write xml yaml
"""

FORMAL = """
able absence absolute abstract academic accept access accident accompany accomplish accurate achieve acquire
adapt adequate adjust administration admit adopt adult advance advantage adventure agency agenda agent
aggressive agreement agriculture aid aim album alcohol alert alien alive alliance alternative ambition
analogy ancient angle angry anxiety anxious apart apartment apologize apparent appeal appearance apple
appointment appreciate appropriate approval architect arise arm army arrange arrest artificial artist aspect
assess asset assist associate association assumption athlete atmosphere atom attach attend attitude attract
auction autumn awful bacteria bag ball ban band bar barrier battery battle beach bean bear beat behave bell
belong belt bend beside bet bike biology birth birthday blame blind blow bomb bond bone bonus border boring
boss bother bottle bowl brand brave bread breakfast breast breath breathe brief brilliant bullet bunch burn
bus butter button cake calculate calendar calm candidate candle capable capacity capture carbon carefully
casual category celebrate cell chain chapter charity chart chat chemical chemistry chest chicken chocolate
circle circumstance classic classical classify climate clinical clock clothes coast code cognitive coin
collapse colleague colony column comedy comfortable commerce commercial commission communicate communication
compete complain complex complicated component compose comprehensive concentrate concert conclude conclusion
concrete conduct conflict confuse congress consequence conservative considerable consist consistent
constitution construct construction consult consume contest contrast contribute contribution convention
conversation conversion convince cooperate cope core corn corner corporate correspond corruption cotton
council counsel counter county courage cousin cover crash crazy cream creative creature credit crew criteria
criticism crop crowd crucial curious currency curriculum curve custom cycle dad dance danger dangerous dare
deck declare decline decrease dedicate defeat defend deficit delay delicious democracy demonstrate density
deny department departure deposit depression depth derive description deserve destination destroy
development diet dig dimension disagree disappear disaster discipline discount discovery discrimination dish
dismiss disorder display dispute distinct distinguish diverse diversity division divorce document domestic
dominant donate double doubt draft drama drawing driver drug dust dynamic eager ear earn earthquake editor
efficient egg elderly elect electric electricity electronic elegant elementary eliminate emerge emergency
emission emotional emphasis emphasize empire enable encounter enemy enforce engagement enhance enormous
ensure enterprise entertainment enthusiasm entrance entry equality equivalent era escape essence essential
ethical ethics evaluate evaluation evil evolution evolve exam exceed exchange excited exciting exclude
execute executive exhibit expand expansion expectation expense experiment expert explanation explore export
expose expression external extraordinary extreme fabric facility factory faculty failure fan fantastic
fantasy farmer fat fault favor favorite fee fellow fence festival fever fiber finance findings fiscal fix
flag flavor flexible flight float flood flour fold folk formation formula fortune foundation founder frame
freedom frequency frequent fresh friendly friendship fruit fuel fulfill fundamental furniture galaxy gallery
gap garage gather gender genetic genre genuine geography giant glad globe gold golf graduate grain grand
grandmother grant grass grave gravity grocery guarantee guard guest guilty guitar habit handle happiness
harm hate healthy hearing heaven height helpful heritage hesitate highlight highway hill historical
historian hobby hole honest honor host household housing humor hunger hunt hypothesis ideal identity ignore
illegal illness illustrate imagination immediate immediately immigrant impossible impression impressive
incident independence industrial inequality infection inflation infrastructure ingredient initiative injury
inner innocent innovation innovative inquiry insect insight inspire install instrument integrate integrity
intellectual intelligence intense intention interaction interpret interval invasion invent invention
investment investor invite iron isolate jacket jail jewelry joke journal journalist joy judgment juice jury
justify keyboard king kiss knee knife landscape lane laptop launch layer leadership leaf lean leather legacy
legend legislation lemon lend liberal liberty license lifestyle lifetime likely limitation literary
literature loan locate location lock logic logical loud lovely lower loyal lung luxury mad magic mammal mask
mass massive master mathematics mayor meat mechanism mental merchant mere mess milk mineral minister
ministry minority miracle mirror mixture moderate modify molecule monkey mood motion motivate motivation
motor mouse mud muscle musical musician mutual myth navigate neat negotiate nerve nest neutral newly noble
noise nomination nuclear numerous nutrition oak obey objective obligation observation observe obstacle
obtain occasion occupy odd offense opera opponent oppose optimal oral orange orbit organ organic
organization orientation outcome outdoor output outstanding oven oxygen pace palace panic parade paragraph
participant participate passage passenger passion passive patience peaceful peak peer pen penalty pension
pepper perceive percentage perception permanent permission personality perspective persuade pet phenomenon
philosophy photograph piano pile pilot pink pioneer pitch pizza planet plastic plate pleasant pleasure
plenty plot pocket poetry poison pole polite politician politics pollution portion portrait pose possibility
pot potato pour poverty powerful practical praise pray precious precise predict prediction preference
pregnant premium preparation presence presentation preserve pressure prestige priest primarily prince
princess priority prison privacy privilege proceed profit progress prohibit prominent promote proof
proportion proposal prospect protein protest proud psychology publication publish punish purchase pure
pursue puzzle qualify quantum quantitative rabbit rainbow random rank rapid rare react readily recall
recession recover recovery recruit recycle refugee refuse regard regime regret regular regulate regulation
reinforce reject relevant reliable relief relieve reluctant rely remarkable remind renewable rent repair
reputation rescue residence resident resist resolution resolve restaurant restore restrict retain retire
retreat revenue reverse revise revolution reward rhythm rice rival river robot rocket romantic rough routine
rubber ruin rural rush sacred sacrifice sad satellite satisfaction satisfy sauce scandal scared scatter
scenario scholar scholarship scope script sculpture secret secretary secure seed segment seize self senator
sensitive sequence severe shake shame shelter shift shine ship shock shortage sick sin sink slave slide slip
slow smoke snake soccer solar solid sophisticated sorry span spare specialist species spectrum spell spicy
spin split spot stable staff stair stake stare steady stem stomach straight strain strange stranger stretch
strict stupid submit substance substantial substitute suburb successful suggestion suicide super supper
supplement supply supreme surgery surround survey suspect suspend sustain sustainable swear sweep switch
symptom systematic tackle tactic tail tank tap tear telephone telescope temporary tend tendency tennis
tension territory terror theater theoretical thoughtful threat threaten thrive tide tip tissue tobacco
tomato tongue tough tourism tourist toxic toy tragedy trail transfer transition transport transportation
trap treasure treatment treaty tremendous tribe trigger tropical trouble twin typical ultimate unable
uncertain undergo undertake unemployment unfortunately uniform union universal update upset urge vacuum
valid valuable vegetable vehicle verse vessel victory violent virtue virus visible vision visitor vital
vitamin vocabulary volume volunteer vulnerable wage wander warrior weigh wheat wheel whisper whole
widespread willing wing wire wisdom witness wolf wonderful worldwide worship wrap wrist yield
"""

CODE = (
    "def {a}({b}, {c}=None):\n    return {b} + {c}\n",
    "for {a} in range({n}):\n    print({a})\n",
    "import {a}\nfrom {b} import {c}\n",
    "if {a} == {n}:\n        {b} = {c}[{n}]\n    else:\n        {b} = []\n",
    "class {a}:\n    def __init__(self, {b}):\n        self.{b} = {b}\n",
    "SELECT {a}, {b} FROM {c} WHERE {a} > {n};\n",
    'const {a} = ({b}) => {{ return "{c}"; }};\n',
    '{{"{a}": "{b}", "{c}": {n}}}\n',
    "# {a} {b}\n\n- {c}: {n}\n- {b}\n\n1. {a}\n2. {c}\n",
    "| {a} | {b} |\n|---|---|\n| {c} | {n} |\n",
    "https://www.{a}.com/{b}/{c}?{a}={n}\n",
)
STARTERS = """
Add Analyze Answer Are Based Calculate Can Classify Compare Complete Compose Compute Consider Convert Count
Create Define Describe Design Determine Develop Did Do Does Edit Evaluate Explain Extract Find Fix For From
Generate Given Give Hello How I Identify If Imagine Implement In Is It List Make Name Note Output Please
Predict Print Prove Provide Read Return Rewrite Show Solve Sort Suggest Summarize Suppose Tell The There
They This Translate Use Using We What When Where Which Who Why Write You Your
"""
LETTERS = "éèüöäßñçáíóúà–—“”’…•€£°×≤≥→αβπ的是我のはいиао"
ENDINGS = (".", ".", ".", ".", ",", "?", "!", ":", ";", ".\n", ".\n\n", ":\n")


def weighted_words() -> tuple[list[str], list[float]]:
    """Words with the weight they are drawn with: by rank, inflected forms below their stem."""
    weights: dict[str, float] = {}
    for rank, word in enumerate(FREQUENT.split()):
        weights[word] = max(weights.get(word, 0.0), 1.0 / (rank + 4))
    for word in (COMMON + TECHNICAL + FORMAL).split():
        weights.setdefault(word, 1.0 / 900)
    for word in list(weights):
        if len(word) >= 4 and weights[word] < 1.0 / 150:
            for form, share in inflections(word):
                weights.setdefault(form, min(weights[word], 1.0 / 600) * share)
    return list(weights), list(weights.values())


def inflections(word: str) -> list[tuple[str, float]]:
    """Forms of a word by the regular rules, with the share of the stem's weight."""
    stem = word[:-1] if word.endswith("e") else word
    plural = word[:-1] + "ies" if word.endswith("y") and word[-2] not in "aeiou" else word + "s"
    return [(plural, 0.5), (stem + "ing", 0.2), (stem + "ed", 0.2)]


def sentences() -> Iterator[str]:
    """Prose mostly, some code, lists, numbers and foreign letters."""
    rng = random.Random(SEED)
    words, weights = weighted_words()
    starters = STARTERS.split()
    for number in range(NUM_SENTENCES):
        drawn = rng.choices(words, weights, k=rng.randint(5, 18))
        if number % 12 == 0:
            template = CODE[(number // 12) % len(CODE)]
            yield template.format(a=drawn[0], b=drawn[1], c=drawn[2], n=rng.randint(0, 2030))
            continue
        if number % 3 == 0:
            drawn[0] = rng.choice(starters) if number % 2 else drawn[0].capitalize()
        if number % 4 == 0:
            place = rng.randrange(len(drawn))
            drawn[place] = drawn[place].capitalize()
        if number % 9 == 0:
            drawn[rng.randrange(len(drawn))] = str(rng.randint(0, 2030))
        if number % 40 == 0:
            drawn.append(rng.choice(LETTERS))
        yield ("" if number % 3 == 0 else " ") + " ".join(drawn) + rng.choice(ENDINGS)


def train() -> Tokenizer:
    """A tokenizer whose decoding gives back exactly what was encoded."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(), trainer=trainer)
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=TOKENIZER_PATH, help="where to write tokenizer.json")
    out: Path = parser.parse_args().out
    tokenizer = train()
    tokenizer.save(str(out), pretty=False)
    print(f"{out}: {tokenizer.get_vocab_size()} tokens, {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
