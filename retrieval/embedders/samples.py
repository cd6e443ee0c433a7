"""Sentences in many languages and of many kinds, on which number formats are compared."""

from typing import Final

SENTENCES: Final = (
    "The filter of the ventilation unit is changed every six months.",
    "Who pays for travel to a customer abroad?",
    "Invoices above 5,000 euros need two signatures.",
    "Error E-417: the door switch does not close.",
    "Part PX-200/4 replaces PX-200/3 from firmware 2.11.0 on.",
    "def mean(values): return sum(values) / len(values)",
    "An amendment is valid only in writing, and only when both parties have signed it within thirty days.",
    "The night shift begins at 22:00 and ends at 6:00.",
    "Our revenue rose by 12.4 % to 318 million dollars, while the margin fell from 9.1 to 8.7 %.",
    "Proteins of this family bind calcium and change their shape when they do.",
    "No.",
    "The museum in the old harbour shows how ships were built three hundred years ago.",
    "Der Filter der Lüftungsanlage wird alle sechs Monate gewechselt.",
    "Wer übernimmt die Kosten einer Dienstreise ins Ausland?",
    "Le contrat prend fin à la date indiquée, sauf accord écrit des deux parties.",
    "¿Cuántos días de vacaciones corresponden por año?",
    "Le spese superiori a mille euro vanno approvate dal responsabile.",
    "A garantia não cobre danos causados pela água.",
    "Przegląd techniczny odbywa się raz w roku.",
    "Гарантия действует два года со дня покупки.",
    "保证期为购买之日起两年。",
    "フィルターは半年ごとに交換してください。",
    "보증 기간은 구입일로부터 이 년입니다.",
    "تسري الضمانة لمدة عامين من تاريخ الشراء.",
    "वारंटी खरीद की तारीख से दो साल तक मान्य है।",
    "การรับประกันมีอายุสองปีนับจากวันที่ซื้อ",
)
