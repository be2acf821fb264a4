"""The words by which readers know columns and rows, in the languages of YouTube's exports and of spreadsheets.

Both are compared without accents and case (`names.plain_name`, `text.fold`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from titlecard.domain.text import fold

if TYPE_CHECKING:
    from collections.abc import Mapping


def _keys(words: str) -> tuple[str, ...]:
    return tuple(words.split())


def _listed(words: str) -> tuple[str, ...]:
    return _keys(fold(words))


def _folded(words: str) -> frozenset[str]:
    return frozenset(_keys(fold(words)))


FIELDS: Mapping[str, tuple[str, ...]] = {
    "id": _listed(
        "snippetresourceidvideoid idvideoid contentdetailsvideoid id videoid youtubeid youtubevideoid ytid videoids "
        "idvideo iddevídeo iddelvídeo iddovídeo iddelavidéo identifiantvidéo idvanvideo identifiantdelavidéo "
        "identificadordelvídeo identificadordovídeo idfilmu identyfikatorfilmu 動画id ビデオid 動画のid 동영상id "
        "视频id 影片id идентификаторвидео sessionid talkid submissionid proposalid eventid eventkey"
    ),
    "title": _listed(
        "talktitle sessiontitle proposaltitle submissiontitle presentationtitle lecturetitle titleoftalk "
        "titleofthetalk title snippettitle videotitle videotitleoriginal name titel titre titulo talkname sessionname "
        "vortragstitel talk vortrag titolo tytuł titleen titeldesvortrags titredelaconférence charla palestra "
        "presentation session topic タイトル 題名"
    ),
    "description": _listed(
        "description snippetdescription videodescription descriptionsegment notes summary abstract beschreibung "
        "descripción descrição descrizione beschrijving omschrijving opis 説明 概要"
    ),
    "url": _listed(
        "webpageurl videourl youtubeurl watchurl url sourceurl link videolink youtubelink href youtube lien "
        "lienvidéo liendelavidéo enlace adresurl titleurl "
        "linktovideo videolinks 動画url"
    ),
    "channel": _listed(
        "channel snippetvideoownerchanneltitle snippetchanneltitle channeltitle channelname uploader kanal chaîne "
        "canal canale kanaal"
    ),
    "published_at": _listed(
        "publishedat contentdetailsvideopublishedat snippetpublishedat published publishedon videopublishtime "
        "uploaddate recorded date veröffentlichungszeitpunktdesvideos videopublishtimestamp datum fecha"
    ),
    "event": _listed(
        "event eventname eventtitle conference conferencename conferencetitle playlisttitle playlist playlistid series "
        "konferenz veranstaltung conférence conferencia conferência conferenza konferencja イベント"
    ),
    "presenters": _listed(
        "presenters presenter speakers speaker speakernames speakername speakerfullname presenternames persons people "
        "sprecher sprecherin sprecherinnen referent referentin referenten referentinnen vortragende vortragender "
        "vortragenden intervenant intervenante intervenants intervenantes intervenantees ponentea oradora "
        "orateur oratrice orateurs conférencier conférenciers ponente ponentes orador oradores palestrante "
        "palestrantes relatore relatrice relatori spreker sprekers prelegent prelegentka prelegenci 発表者 登壇者 "
        "スピーカー 講演者"
    ),
}
"""The known names of each field of a video, in order of precedence."""

FIRST_NAMES = _listed("firstname speakerfirstname presenterfirstname vorname prénom nombre nome")
LAST_NAMES = _listed("lastname speakerlastname presenterlastname nachname nom apellido cognome")
"""The columns of a single presenter's name in two parts."""

OF_APPLICANTS = _listed("email emailaddress company organisation organization affiliation bio biography jobtitle")
"""The columns of a form that speakers fill in; the column `name` beside them is the speaker's."""

MORE_PRESENTERS = _listed("additionalspeakers cospeakers cospeaker copresenters copresenter secondspeaker")

RECORDINGS = _listed("recordingurl recordinglink recording recordings video videos")
"""The columns of addresses, where no column has a clearer name."""

ENVELOPES = ("video", "node", "attributes", "fields", "_source", "item", "talk", "session")
"""The names under which an API's row holds the video: PeerTube, GraphQL, JSON:API, Airtable, Elasticsearch."""

KEYS = ("guid", "uuid", "code", "slug", "pk", "key")
"""Columns that identify a row without an id and an address."""

PEOPLE_KEYS = _keys("public_name full_public_name display_name displayName full_name fullName name title")
"""The keys of a person's name, in order of precedence; beside a name for people, `name` may be that of an account."""

AROUND_PEOPLE = _keys("data edges nodes node attributes fields speaker presenter person user profile")
"""The names under which an API's object holds a person or a list of them."""

VIDEO = _listed("video film 動画 ビデオ видео 동영상 视频 影片")

STEMS: Mapping[str, tuple[str, ...]] = {
    "title": _listed("title titel titre título titolo tytuł tittel название 제목 标题 タイトル"),
    "description": _listed("descri beschreibung beschrijving omschrijving beskriv opis описание 설명 说明 説明 概要"),
    "published_at": _listed("publish veröffentlich publica pubblica publikac publicat opublik 公開"),
}
"""Parts of the names of columns about a video, in exports of YouTube Studio and Google Takeout."""

_LANGUAGE = _listed("sprache language langue idioma lingua taal język språk язык 언어 语言 言語")

NOT_IN: Mapping[str, tuple[str, ...]] = {
    "title": (*_LANGUAGE, *_listed("playlist channel kanal canal chaîne kanaa チャンネル")),
    "description": (*_LANGUAGE, *_listed("playlist channel kanal canal chaîne kanaa チャンネル")),
    "published_at": (*_LANGUAGE, *_listed("status state estado stato état stan privacy 設定")),
}
"""Parts that such a name does not have."""

CONTENT = _listed(
    "content video videos inhalt inhalte contenu contenus contenido contenidos conteúdo conteúdos contenuto "
    "contenuti inhoud treść treści film filmy materiał materiały コンテンツ 動画"
)
"""The column of video ids in YouTube Studio's tables, if there is no other."""

TOTALS = _listed(
    "total totals gesamt gesamtwert gesamtsumme summe totaux totalgénéral totale totali totales totais totaal "
    "łącznie razem suma ogółem 合計 総計 全体"
)
"""The content of that column in the row of totals."""

PRIVATE = _folded("private privat privée privé privado privada privato prywatny prywatne приватное 비공개 私享 非公開")
"""The privacy of a video in YouTube's tables."""

HIDDEN = _folded(
    "private privates privat prive privee privado privada privato privata prywatny prywatna prywatne particular "
    "deleted removed unavailable hidden geloschtes geloscht entferntes supprimee supprime indisponible eliminado "
    "borrado excluido removido eliminato rimosso verwijderde verwijderd privevideo usuniety usunieto usuniete "
    "niedostepny nicht verfugbares verfugbar non disponibile no disponible niet beschikbaar beschikbare 非公開 "
    "削除された 削除済み 私享 私人 已删除的 비공개 삭제된 удаленное удалено закрытое частное приватное retiree "
    "slettet yksityinen poistettu soukrome smazane odstranene silinmis gizli ozel borttagen приватне видалене"
)

AROUND_HIDDEN = _folded(
    "this is has been by the uploader user owner no longer available dieses ist wurde mehr vom nutzer entfernt cette "
    "est a ete n plus este esta es foi ha sido pelo por el questo e stato dall utente piu deze dit niet meer ten "
    "jest"
)
"""The other words of YouTube's sentences about a hidden video."""

VIDEOS = _folded("video videos film filmy wideo privevideo видео відео")

BREAKS = _folded(
    "break breaks lunch coffee tea breakfast dinner registration registrations checkin doors networking party "
    "afterparty reception brunch snacks pause pausen mittagspause kaffeepause mittagessen mittag fruhstuck "
    "abendessen registrierung anmeldung einlass umbaupause dejeuner cafe accueil inscription inscriptions diner "
    "comida almuerzo descanso registro acreditacion desayuno cena almoco intervalo credenciamento inscricoes jantar "
    "pranzo pausa registrazione colazione lunchpauze koffiepauze koffie pauze ontvangst inschrijving przerwa obiad "
    "kawa kawowa obiadowa rejestracja sniadanie 休憩 昼休み 昼食 受付 開場 懇親会 ランチ registratie inloop borrel "
    "kawe caffe inscripcion inscripciones acreditaciones cocktail cocktails apero aperitif aperitivo sektempfang "
    "buffet picnic gettogether umbau pauza obed prestavka lounas kahvitauko tauko frokost lunsj kaffepaus fika обед "
    "eftermiddagsfika перерыв кофе брейк регистрация завтрак ужин changeover badge badges photo photos gruppenfoto "
    "social door ontbijt snidane vecere morgenmad frukost aamiainen kahvalti mola reggeli ebed ebedszunet kaveszunet "
    "szunet"
)

AROUND_BREAKS = _folded(
    "and the a an of for in at on with by to your our opening opens open closing end start begins begin para pelo "
    "manha tarde welcome morning afternoon evening short long social event hour time check und mit der die das zum "
    "zur am im et de du la le y con el e da do di del og i en met na sponsored room hall area outside foyer pm h uhr "
    "day min mins minute minutes minuten conference community speaker speakers sponsor sponsors group gala pick "
    "pickup up drinks snacks cake after o os as des petit participants ankommen"
)

ADVERTISING = _folded(
    "advertisement advertisements advertising werbung werbepause anzeige anzeigen publicite annonce publicidad "
    "advert adverts anuncio anuncios annuncio annunci реклама publicidade pubblicita advertentie "
    "advertenties reklama sponsored 広告"
)
